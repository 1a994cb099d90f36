"""What a run would do: jobs, money, time, changes, and whether the vendor's schemas are ours."""
