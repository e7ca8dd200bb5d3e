"""What a new project starts with: seed tasks in English and Chinese, written for Heedful."""
