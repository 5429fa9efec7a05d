"""Fine-tune a LoRA adapter on the bug fixes of a repository and compare its ranking with the baseline."""
