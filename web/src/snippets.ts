/** A request of the page as other programs would send it. */
import { python } from "./json/text";

const shell = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export interface Snippet {
  name: string;
  text: string;
}

/** `url`: where the API is, without a slash at its end. `request` is valid JSON. */
export function snippets(url: string, user: string, type: string, request: string): Snippet[] {
  return [
    {
      name: "curl",
      text: [
        `TOKEN=$(curl -s ${url}/api/login -H 'Content-Type: application/json' \\`,
        `  -d ${shell(`{"username": ${JSON.stringify(user)}, "password": "…"}`)} | sed 's/.*"token":"\\([^"]*\\).*/\\1/')`,
        `curl ${url}/api/enqueue -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\`,
        `  -d ${shell(`{"type": ${JSON.stringify(type)}, "request": ${request}}`)}`,
      ].join("\n"),
    },
    {
      name: "Python",
      text: [
        "from laneway import Client",
        "",
        `with Client(${JSON.stringify(url)}, username=${JSON.stringify(user)}, password="…") as client:`,
        `    job = client.enqueue(${JSON.stringify(type)}, ${python(request)})`,
        "    print(job.wait(timeout_seconds=60).result)",
      ].join("\n"),
    },
    {
      name: "Command line",
      text: [
        `export LANEWAY_URL=${url}`,
        `laneway login --username ${shell(user)}`,
        `laneway enqueue ${shell(type)} ${shell(request)} --wait`,
      ].join("\n"),
    },
  ];
}
