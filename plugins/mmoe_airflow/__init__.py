"""What the DAG files share: the operator that runs one `mmoe` step, the assets, the pools. Imports nothing heavy."""
