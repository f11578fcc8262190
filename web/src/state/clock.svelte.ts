/** The time, once a second: what shows a relative time reads it. It stands still while updates are stopped. */
import { live } from "./live.svelte";

class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.#tick();
    }, 1000);
    document.addEventListener("visibilitychange", () => {
      this.#tick();
    });
  }

  #tick(): void {
    if (live.isFollowed) this.now = Date.now();
  }
}

export const clock = new Clock();
