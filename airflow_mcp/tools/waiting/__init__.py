"""Why a DAG, a run or a task does not go on: pure judgements over records that were read."""
