// TypeScript's SDK of the protocols up to 2025-11-25: node sdk_v1.mjs URL TOKEN, or node sdk_v1.mjs stdio COMMAND.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { story } from './story.mjs';
import { environment } from './environment.mjs';

const [where, secret] = process.argv.slice(2);
const asked = [];
const client = new Client({ name: 'typescript-v1', version: '1' }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async (request) => {
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
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
const told = await story(client, call, asked);
console.log(JSON.stringify({ ...told, session: Boolean(transport.sessionId) }));
await client.close();
