/** How users log in here, and whether this is `laneway dev`. Asked until there is an answer, and then no more. */
import { Problem } from "../api/http";
import type { WaysToLogIn } from "../api/model";
import { waysToLogIn } from "./issuer";

class Ways {
  value = $state.raw<WaysToLogIn | null>(null);
  readonly isDev = $derived(this.value?.dev ?? false);

  /** Without an answer nothing is known, and the log-in form says that the server does not answer. */
  async load(): Promise<void> {
    try {
      this.value ??= await waysToLogIn();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
}

export const ways = new Ways();
