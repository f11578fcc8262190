/** Which requests a form can write, and the schema that it is made from. */
import { survives } from "./json/text";

type Schema = Record<string, unknown>;

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether the schema describes an object with fields: other payloads are written as JSON. */
export function hasFields(schema: Schema): boolean {
  const root = typeof schema.$ref === "string" ? resolve(schema, schema.$ref) : schema;
  return isSchema(root) && isSchema(root.properties) && Object.keys(root.properties).length > 0;
}

function resolve(root: Schema, pointer: string): unknown {
  const names = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce<unknown>((at, name) => (isSchema(at) ? at[name] : undefined), root);
}

/** Whether a form can hold this payload without a change: an object, whose numbers JavaScript keeps. */
export const fits = (text: string): boolean => text.trimStart().startsWith("{") && survives(text);

/**
 * The schema without what a form shows as a riddle: "X or null" becomes X, which may be left empty, and a default of null
 * goes. The API checks what is sent by the schema as it is.
 */
export function plain(schema: Schema): Schema {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (!isSchema(value)) return value;
    const { default: initial, ...rest } = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walk(part)]));
    const kept: Schema = initial === null || initial === undefined ? rest : { ...rest, default: initial };
    const choices = Array.isArray(kept.anyOf) ? kept.anyOf.filter((choice) => !isSchema(choice) || choice.type !== "null") : [];
    const [only] = choices;
    if (choices.length !== 1 || !isSchema(only)) return kept;
    const { anyOf: _, ...others } = kept;
    return { ...only, ...others };
  };
  return walk(schema) as Schema;
}
