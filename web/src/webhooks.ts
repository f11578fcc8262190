/** Webhooks in words. */
import type { EndState, Webhook } from "./api/webhooks";
import { count } from "./format";

export const ENDS: readonly { state: EndState; text: string }[] = [
  { state: "succeeded", text: "have succeeded" },
  { state: "failed", text: "have failed" },
  { state: "cancelled", text: "were cancelled" },
];

/** "all ends", "failed, cancelled of echo, resize". */
export function wanted({ states, types }: Pick<Webhook, "states" | "types">): string {
  const ends = states.length === ENDS.length ? "all ends" : states.join(", ");
  return types.length ? `${ends} of ${types.join(", ")}` : ends;
}

/** The types in a text, separated by commas or blanks. */
export const typesIn = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

export interface Status {
  text: string;
  /** What went wrong, in the words of the API. */
  error: string;
  isBad: boolean;
}

/** How deliveries fare: the webhook is disabled, the oldest delivery is tried again, or how the last one ended. */
export function status({ disabled_reason, last_error, last, waiting }: Pick<Webhook, "disabled_reason" | "last_error" | "last" | "waiting">): Status {
  if (disabled_reason !== null) return { text: "disabled", error: disabled_reason, isBad: true };
  if (last_error !== null) return { text: `${count(waiting)} waiting`, error: last_error, isBad: true };
  if (waiting) return { text: `${count(waiting)} waiting`, error: "", isBad: false };
  if (!last) return { text: "no delivery yet", error: "", isBad: false };
  return last.delivered ? { text: "delivered", error: "", isBad: false } : { text: "failed", error: last.detail, isBad: true };
}
