/** Brings what a page has loaded up to date after the connection was lost. */
import type { Problem } from "../api/http";
import { live } from "./live.svelte";

interface Recovers {
  readonly error: Problem | null;
  /** Load again what could not be loaded. */
  retry(): void;
  /** Show what has changed in the rows on the page; absent if something else does. */
  catchUp?(isWanted: () => boolean): Promise<void>;
  close(): void;
}

/** Load again what failed or may be old, as soon as events come again, and nothing more once the function returned is called. */
export function recover(one: Recovers): () => void {
  const end = live.listen((_, refresh) => {
    if (refresh !== "missed") return;
    if (one.error) one.retry();
    else void one.catchUp?.(() => live.isFollowed);
  });
  return () => {
    end();
    one.close();
  };
}
