---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A006
dlm_version: 15
base_model: qwen2.5-coder-1.5b
training:
  sequence_len: 1024
export:
  default_temperature: 0.2
---

# Regular expressions, token by token

An explanation lists the tokens of the pattern in order, one line each, with what the token matches. It ends with one text that matches and one that does not. A new pattern is given first and then explained in the same way.

::instruction::
### Q
Explain ^\d{4}-\d{2}$
### A
`^` start of the text
`\d{4}` exactly four digits
`-` a hyphen
`\d{2}` exactly two digits
`$` end of the text
Matches: 2026-04. Does not match: 26-4.

### Q
Explain \bcat(s)?\b
### A
`\b` a word boundary
`cat` these three letters
`(s)?` an s, or nothing
`\b` a word boundary
Matches: two cats. Does not match: concatenate.

### Q
Write a pattern for a hex colour such as #a1b2c3
### A
`^#[0-9a-fA-F]{6}$`
`^` start of the text
`#` a hash sign
`[0-9a-fA-F]{6}` six digits or letters from a to f
`$` end of the text
Matches: #a1b2c3. Does not match: #a1b2cg.

### Q
Write a pattern for lines that are empty or hold only blanks
### A
`^\s*$`
`^` start of the line
`\s*` any number of blanks, also none
`$` end of the line
Matches: an empty line. Does not match: a line with a dot.

### Q
Explain (?i)^re:\s*
### A
`(?i)` upper and lower case are the same
`^` start of the text
`re:` these three characters
`\s*` any number of blanks, also none
Matches: RE: invoice. Does not match: About re: invoice.

### Q
Explain ^[^@\s]+@[^@\s]+$
### A
`^` start of the text
`[^@\s]+` one or more characters that are neither @ nor blank
`@` an at sign
`[^@\s]+` one or more characters that are neither @ nor blank
`$` end of the text
Matches: a@b.org. Does not match: a b@c.
