// What a server over stdio gets of this process's environment: the SDK's own choice, and the server's settings.
export function environment(chosen) {
  const settings = Object.entries(process.env).filter(([name]) => name.startsWith('AIRFLOW_MCP_'));
  return { ...chosen, ...Object.fromEntries(settings) };
}
