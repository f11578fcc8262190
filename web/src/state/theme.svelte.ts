/** Light, dark, or as the system has it. Kept in this browser. */
export type Theme = "auto" | "light" | "dark";

const KEY = "laneway.theme";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

class ThemeChoice {
  value = $state<Theme>(THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "auto");

  set(theme: Theme): void {
    this.value = theme;
    localStorage.setItem(KEY, theme);
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset.theme = this.value;
  }

  next(): void {
    this.set(THEMES[(THEMES.indexOf(this.value) + 1) % THEMES.length] ?? "auto");
  }
}

export const theme = new ThemeChoice();
