"""What stands around a workload of the process driver: supervisor, first process, namespaces and relay.

Standard library only, and nothing of ours but `drivers.driver`: these modules run in small processes of their own
(`python -I -S`) beside each workload, and outlive the coordinator.
"""
