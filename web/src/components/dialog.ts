/** Attachment: open the dialog over the page; its focus goes back where it was when it closes. */
export function openDialog(element: HTMLDialogElement): () => void {
  const before = document.activeElement;
  element.showModal();
  const outside = (event: MouseEvent): void => {
    if (event.target === element && event.detail > 0) element.close();
  };
  element.addEventListener("click", outside);
  return () => {
    if (before instanceof HTMLElement) before.focus();
  };
}
