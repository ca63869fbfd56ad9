"""The blind Countermark broker: it verifies, decides, logs and delivers what it cannot read."""
