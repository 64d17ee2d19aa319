// A client of the Model Context Protocol by the official SDK. Its argument, as JSON, says how to reach a server (`command`
// and `args`, or `url` and `token`) and what to ask it (`calls` of tools, `read` of resources, `prompts`). Prints what the
// server has and what it answered.
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');

async function main() {
  const { command, args, url, token, calls, read, prompts } = JSON.parse(process.argv[2]);
  const requestInit = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url), { requestInit })
    : new StdioClientTransport({ command, args });
  const client = new Client({ name: 'throughline-tests', version: '1.0.0' });
  await client.connect(transport);
  const said = {
    server: client.getServerVersion(),
    instructions: client.getInstructions(),
    ...(await client.listTools()),
    ...(await client.listResources()),
    ...(await client.listResourceTemplates()),
    ...(await client.listPrompts()),
    answers: [],
    contents: [],
    messages: [],
  };
  for (const call of calls ?? []) said.answers.push(await client.callTool(call));
  for (const uri of read ?? []) said.contents.push(...(await client.readResource({ uri })).contents);
  for (const prompt of prompts ?? []) said.messages.push(...(await client.getPrompt(prompt)).messages);
  await client.close();
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
