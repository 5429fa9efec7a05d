"""What people ask for in comments and by buttons: what they said, whether they may, what comes of it, the answer."""
