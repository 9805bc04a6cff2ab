"""What each channel's endpoints must say: fields, defaults and checks. Pure; for forms, YAML, REST and tests alike."""
