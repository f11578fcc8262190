/** The user's webhooks in the API. */
import { call } from "./api";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Webhook = Schemas["WebhookReply"];
export type WebhookWithSecret = Schemas["NewWebhookReply"];
export type EndState = Webhook["states"][number];

/** What a webhook is made of. No `types`: jobs of all types. */
export type NewWebhook = Pick<Webhook, "url" | "states" | "types">;

const path = (id: string): string => `api/webhooks/${encodeURIComponent(id)}`;
const json = async <T>(answer: Promise<Response>): Promise<T> => (await answer).json() as Promise<T>;

export const webhooks = {
  list: async (): Promise<Webhook[]> => (await json<{ webhooks: Webhook[] }>(call("api/webhooks"))).webhooks,
  create: (webhook: NewWebhook): Promise<WebhookWithSecret> => json(call("api/webhooks", { method: "POST", body: JSON.stringify(webhook) })),
  rotate: (id: string): Promise<WebhookWithSecret> => json(call(`${path(id)}/rotate`, { method: "POST" })),
  test: (id: string): Promise<{ message_id: string }> => json(call(`${path(id)}/test`, { method: "POST" })),
  enable: (id: string): Promise<Response> => call(`${path(id)}/enable`, { method: "POST" }),
  disable: (id: string): Promise<Response> => call(`${path(id)}/disable`, { method: "POST" }),
  remove: (id: string): Promise<Response> => call(path(id), { method: "DELETE" }),
};
