/** Which view is open: the address below `ui/`. The API serves the page at each of them. */
import { ROOT } from "../root";

const BASE = ROOT + "ui/";

class Route {
  /** "queue", "jobs/…", "history", … */
  path = $state("");
  query = $state(new URLSearchParams());

  constructor() {
    this.#read();
    window.addEventListener("popstate", () => {
      this.#read();
    });
  }

  #read(): void {
    const { pathname, search } = window.location;
    this.path = pathname.startsWith(BASE) ? decodeURI(pathname.slice(BASE.length)).replace(/\/$/, "") : "";
    this.query = new URLSearchParams(search);
  }

  go(path: string): void {
    if (BASE + path !== window.location.pathname + window.location.search) history.pushState(null, "", BASE + path);
    this.#read();
    window.scrollTo(0, 0);
  }

  /** Go to a view instead of the one that is open: the browser's history forgets its address. */
  replace(path: string): void {
    history.replaceState(null, "", BASE + path);
    this.#read();
  }

  /** Change parts of the query without a new entry in the browser's history. */
  set(values: Record<string, string>): void {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    history.replaceState(null, "", window.location.pathname + (text ? "?" + text : ""));
    this.query = query;
  }
}

export const route = new Route();

export const href = (path: string): string => BASE + path;

/** For `onclick` of a link to one of our views: goes there without loading the page again. */
export function follow(event: MouseEvent): void {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.defaultPrevented) return;
  const link = (event.target as Element).closest("a");
  if (!link || link.target || link.origin !== window.location.origin || !link.pathname.startsWith(BASE)) return;
  event.preventDefault();
  route.go(link.pathname.slice(BASE.length) + link.search);
}
