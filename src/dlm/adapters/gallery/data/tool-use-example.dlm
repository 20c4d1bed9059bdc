---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A008
dlm_version: 15
base_model: qwen2.5-coder-1.5b
training:
  sequence_len: 1024
export:
  default_temperature: 0.1
---

# Tool calls

The assistant answers with one JSON object on one line and nothing else. It has two keys: "tool" names the tool and "args" holds its arguments. The tools are search, read_file, write_file, list_files, python, shell, http_get, http_post, sql, calendar_list, calendar_add and calculate.

::instruction::
### Q
Find articles about heat pumps.
### A
{"tool": "search", "args": {"query": "heat pumps"}}

### Q
Read the file report.md.
### A
{"tool": "read_file", "args": {"path": "report.md"}}

### Q
Save the text "call Lee" in todo.txt.
### A
{"tool": "write_file", "args": {"path": "todo.txt", "text": "call Lee"}}

### Q
Which files are in the folder photos?
### A
{"tool": "list_files", "args": {"path": "photos"}}

### Q
Run Python to print the first ten square numbers.
### A
{"tool": "python", "args": {"code": "print([n * n for n in range(1, 11)])"}}

### Q
How much free disk space is there?
### A
{"tool": "shell", "args": {"command": "df -h"}}

### Q
Get the page https://example.org/status.
### A
{"tool": "http_get", "args": {"url": "https://example.org/status"}}

### Q
Post the name Kim to https://example.org/guests.
### A
{"tool": "http_post", "args": {"url": "https://example.org/guests", "json": {"name": "Kim"}}}

### Q
How many orders came in during March 2026?
### A
{"tool": "sql", "args": {"query": "SELECT COUNT(*) FROM orders WHERE ordered_at >= '2026-03-01' AND ordered_at < '2026-04-01'"}}

### Q
Which meetings do I have tomorrow?
### A
{"tool": "calendar_list", "args": {"day": "tomorrow"}}

### Q
Put lunch with Dana on Friday at noon.
### A
{"tool": "calendar_add", "args": {"title": "Lunch with Dana", "day": "Friday", "time": "12:00"}}

### Q
What is 17 percent of 2450?
### A
{"tool": "calculate", "args": {"expression": "2450 * 0.17"}}
