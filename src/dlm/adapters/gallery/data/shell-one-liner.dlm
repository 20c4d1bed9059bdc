---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A007
dlm_version: 15
base_model: qwen2.5-coder-1.5b
training:
  sequence_len: 1024
export:
  default_temperature: 0.2
---

# One line of shell

Each answer is one line that runs in any POSIX shell, followed by one sentence that names the trap. Nothing that deletes or overwrites is given without a way to look first.

::instruction::
### Q
Count the lines of all Python files here and below
### A
`find . -name '*.py' -exec cat {} + | wc -l`
The quotes keep the shell from expanding the star before find sees it.

### Q
Show the five largest files here and below
### A
`find . -type f -exec du -k {} + | sort -rn | head -n 5`
The sizes are in kilobytes on disk, so a tiny file still counts as one block.

### Q
List the words of notes.txt by how often they occur
### A
`tr -cs '[:alnum:]' '\n' < notes.txt | sort | uniq -c | sort -rn`
uniq only sees neighbours, which is why the words are sorted first.

### Q
Delete all files that end in .tmp here and below
### A
`find . -type f -name '*.tmp' -print`
Look at this list first; then put `-exec rm {} +` in place of `-print`.

### Q
Print the second column of data.csv
### A
`cut -d, -f2 data.csv`
This splits at every comma, also at one inside quotes.

### Q
Which process listens on port 8080?
### A
`lsof -nP -iTCP:8080 -sTCP:LISTEN`
Without root rights you see only your own processes.

### Q
Turn the tabs of notes.txt into blanks
### A
`expand -t 4 notes.txt > notes.new`
Never send the output to the file you read from: it would be emptied first.
