/** Attachment: open the dialog over the page; its focus goes back where it was when it closes. A click beside it cancels it, as Escape does. */
export function openDialog(element: HTMLDialogElement): () => void {
  const before = document.activeElement;
  element.showModal();
  const outside = (event: MouseEvent): void => {
    const isOutside = event.target === element && event.detail > 0;
    if (isOutside && element.dispatchEvent(new Event("cancel", { cancelable: true }))) element.close();
  };
  element.addEventListener("click", outside);
  return () => {
    if (before instanceof HTMLElement) before.focus();
  };
}
