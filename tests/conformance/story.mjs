// What a client of TypeScript's SDK does with the server, as one object that a test in Python reads.
//
// `call(name, arguments, options)` is the SDK's callTool, whose options stand in another place in each version; `asked`
// is the list of questions that its human got. AUDIT names the server's audit file, if it can tell of an abort.
import { readFileSync } from 'node:fs';

const ENOUGH = 500; // calls after which an aborted call counts as one that goes on

export async function story(client, call, asked) {
  const { tools } = await client.listTools();
  const prompt = await client.getPrompt({ name: 'diagnose_failure', arguments: { dag_id: 'etl' } });
  const run = await client.readResource({ uri: 'airflow://default/dags/etl/runs/done' });
  const reference = { type: 'ref/prompt', name: 'diagnose_failure' };
  const completed = await client.complete({ ref: reference, argument: { name: 'dag_id', value: 'et' } });
  return {
    server: client.getServerVersion().name,
    tools: tools.map((tool) => tool.name),
    answer: told(await call('list_dags', {})),
    refused: told(await call('create_pool', { name: 'large', slots: 5 })),
    waited: await waited(call),
    confirmed: told(await call('pause_dag', { dag_id: 'etl' })),
    asked,
    planned: await planned(call),
    aborted: await aborted(call),
    run: run.contents[0].text,
    prompt: prompt.messages[0].content.text,
    completed: completed.completion.values,
  };
}

function told(result) {
  return { error: result.isError ?? false, text: result.content[0].text, structured: result.structuredContent ?? null };
}

async function waited(call) {
  const progress = [];
  const ids = { dag_id: 'etl', dag_run_id: 'ends' };
  const result = await call('wait_for_dag_run', ids, { onprogress: (step) => progress.push(step.message) });
  return { ...told(result), progress };
}

async function planned(call) {
  const preview = told(await call('delete_pool', { pool_name: 'small' }));
  const again = { pool_name: 'small', plan: preview.structured.plan };
  return { preview, done: told(await call('delete_pool', again)), twice: told(await call('delete_pool', again)) };
}

async function aborted(call) {
  const abort = new AbortController();
  const ids = { dag_id: 'etl', dag_run_id: 'never_ends' };
  const options = { signal: abort.signal, onprogress: () => abort.abort('enough') };
  let error = '';
  try {
    await call('wait_for_dag_run', ids, options);
  } catch (thrown) {
    error = String(thrown.message ?? thrown);
  }
  let after = told(await call('list_dags', {}));
  for (let calls = 0; process.env.AUDIT && !endedOnTheServer() && calls < ENOUGH; calls += 1) {
    after = told(await call('list_dags', {}));
  }
  return { error, after, ended: process.env.AUDIT ? endedOnTheServer() : null };
}

function endedOnTheServer() {
  const lines = readFileSync(process.env.AUDIT, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return lines.some((line) => line.tool === 'wait_for_dag_run' && line.arguments.dag_run_id === 'never_ends');
}
