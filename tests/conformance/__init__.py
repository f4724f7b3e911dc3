"""The server under the clients and test suites of others: MCP's conformance suite, the Inspector, TypeScript's SDKs."""
