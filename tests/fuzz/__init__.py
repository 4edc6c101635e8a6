"""`make fuzz`: broken entries, odd messages and hostile names, from a seed; what fails is kept."""
