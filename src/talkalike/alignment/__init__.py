"""What people think makes it better: rewards, reinforcement learning, preference losses and an AI judge."""
