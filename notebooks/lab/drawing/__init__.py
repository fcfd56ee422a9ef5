"""Pictures of what was recorded: SVG for the eye, the same as text for everything else."""
