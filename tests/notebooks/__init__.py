"""What checks the notebooks themselves, beside the strict re-run of their outputs by nbval."""
