/** Where the API stands, with a slash at the end: the build lies in `ui/assets/` below it, whatever path prefix a proxy adds. */
export const ROOT = import.meta.env.DEV ? "/" : new URL(/* @vite-ignore */ "../../", import.meta.url).pathname;
