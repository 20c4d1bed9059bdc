---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A001
dlm_version: 15
base_model: smollm2-360m
training:
  sequence_len: 1024
export:
  default_temperature: 0.2
---

# Changelog

A changelog is written for the people who use the software. Each entry starts with its category: Added, Changed, Fixed, Removed or Security. It says in one sentence what is different for the user, in the past tense, without ticket numbers, file names or the names of authors.

::instruction::
### Q
commit: feat(export): csv writer w/ custom delimiter, closes #412
### A
Added: Reports can be exported as CSV with a delimiter of your choice.

### Q
commit: fix crash when config file is empty (NoneType in loader.py)
### A
Fixed: The program no longer crashes when the configuration file is empty.

### Q
commit: perf: cache thumbnails on disk, gallery opens in 0.3s instead of 2s
### A
Changed: The gallery opens about six times faster because thumbnails are kept on disk.

### Q
commit: drop python 3.9, it is end of life
### A
Removed: Python 3.9 is no longer supported.

### Q
commit: sec: escape html in comment preview (reported by a user)
### A
Security: HTML in comment previews is now escaped, so a comment can no longer run scripts.

### Q
commit: rename --out to --output, keep old name as alias until v3
### A
Changed: The option --out is now called --output; the old name keeps working until version 3.
