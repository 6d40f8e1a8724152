"""What the platform team runs or imports: open, check, de-duplicate, store, acknowledge."""
