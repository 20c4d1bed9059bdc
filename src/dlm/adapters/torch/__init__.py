"""Training and prompting on torch, transformers and PEFT. Nothing here is imported before it is needed."""
