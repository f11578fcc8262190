import { MediaQuery } from "svelte/reactivity";

/** Whether the window is as narrow as a phone's: the same width as in the styles. */
export const narrow = new MediaQuery("max-width: 760px");
