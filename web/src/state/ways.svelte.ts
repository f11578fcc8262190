/** How users log in here, and whether this is `laneway dev`. Asked until there is an answer, and then no more. */
import { Problem } from "../api/http";
import type { WaysToLogIn } from "../api/model";
import { waysToLogIn } from "./issuer";

/** Whether this tab knows that it is `laneway dev`: a page that is opened again shows the same views before there is an answer. */
const KEY = "laneway.dev";

class Ways {
  value = $state.raw<WaysToLogIn | null>(null);
  readonly isDev = $derived(this.value?.dev ?? sessionStorage.getItem(KEY) !== null);

  /** Without an answer nothing is known, and the log-in form says that the server does not answer. */
  async load(): Promise<void> {
    try {
      this.value ??= await waysToLogIn();
      if (this.value.dev) sessionStorage.setItem(KEY, "");
      else sessionStorage.removeItem(KEY);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
}

export const ways = new Ways();
