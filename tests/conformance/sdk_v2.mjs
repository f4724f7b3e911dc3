// TypeScript's SDK of every protocol: node sdk_v2.mjs URL TOKEN, or node sdk_v2.mjs stdio COMMAND; MODE=legacy or auto.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/client/stdio';
import { story } from './story.mjs';
import { environment } from './environment.mjs';

const [where, secret] = process.argv.slice(2);
const asked = [];
const client = new Client(
  { name: 'typescript-v2', version: '1' },
  { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode: process.env.MODE } },
);
client.setRequestHandler('elicitation/create', async (request) => {
  asked.push(request.params.message);
  return { action: 'accept', content: { confirm: true } };
});
const transport =
  where === 'stdio'
    ? new StdioClientTransport({ command: secret, env: environment(getDefaultEnvironment()), stderr: 'inherit' })
    : new StreamableHTTPClientTransport(new URL(where), {
        requestInit: { headers: { Authorization: `Bearer ${secret}` } },
      });
await client.connect(transport);
const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
const told = await story(client, call, asked);
console.log(JSON.stringify({ ...told, protocol: client.getNegotiatedProtocolVersion() }));
await client.close();
