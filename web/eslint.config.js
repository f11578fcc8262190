import svelte from "eslint-plugin-svelte";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["node_modules", "src/api/schema.ts"] },
  ...ts.configs.strict,
  ...svelte.configs["flat/recommended"],
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    rules: {
      "svelte/no-at-html-tags": "error", // text of users is only ever text
      // style-src 'self' refuses them; the directive `style:` is allowed, since it goes through the object model
      "no-restricted-syntax": ["error", { selector: "SvelteAttribute[key.name='style']", message: "The policy refuses style attributes." }],
      "svelte/prefer-svelte-reactivity": "off", // sets and maps are replaced, not changed, where a view depends on them
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_", argsIgnorePattern: "^_" }],
      eqeqeq: "error",
    },
  },
);
