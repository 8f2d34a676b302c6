"""What was measured, how, and the pages that tell it."""
