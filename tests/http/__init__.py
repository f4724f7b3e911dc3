"""The server over Streamable HTTP: real processes on loopback, real clients, and a stand-in for Airflow behind them."""
