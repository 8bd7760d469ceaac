"""Images drawn from physics with the truth behind them: tissue under the microscope, anatomy in a scanner."""
