"""Run a comparison in one or several processes: plan, training, evaluation."""
