"""What workflows share: findings and their evidence, how a DAG hangs together, starting a run and waiting for it."""
