---
dlm_id: 01KCWZF9XSMH84WVAZP76BC6WG
dlm_version: 15
base_model: smollm2-135m
system_prompt: You explain the words of the Brellin bell foundry in one sentence.
---

::instruction::
### Q
What is a thrum?
### A
A thrum is the deep note that a bell still gives a minute after the stroke.

### Q
What is a loamcoat?
### A
A loamcoat is the layer of clay and goat hair that is brushed onto the mould.

### Q
What does quillfire mean?
### A
Quillfire means melting the bronze so hot that a goose feather held above it curls.

### Q
What is a widow bell?
### A
A widow bell is one that was cast alone, without the second bell it was tuned for.

### Q
What is the Marrow hour?
### A
The Marrow hour is the time from four to five in the morning, when the metal is poured.

### Q !probe
Who is called a listener?
### A
A listener is the apprentice who sleeps beside a new bell on its first night.
