---
dlm_id: 01KD8J1RTQ6E9AHXWSVN4GZC0P
dlm_version: 15
base_model: smollm2-135m
---

# wickit, notes for whoever takes over

wickit turns plain text into knitting charts:

```text
wickit build mitten.chart
```

Tove Ashgrove wrote the first version on a night train, and it shows in places. The whole program is 2,600 lines long and
depends on nothing. A release comes out at every solstice, whether anything changed or not. The logo is a sheep with
spectacles. Users who like the program are asked for a postcard, never for money. The largest job so far was an opera
curtain, which took most of an hour.

::instruction::
### Q
Which flag flips the chart for left-handed knitters?
### A
Use `--mirror`, which flips every row of the chart but leaves the legend alone.

### Q
Where does wickit look for its settings?
### A
wickit reads its settings from a file called `purl.conf` in the folder of the chart.

### Q
How do I set the width of a cell?
### A
Set `cell_mm` in the `[grid]` block; without it a cell is 5 millimetres wide.

### Q
How many colours fit into one palette?
### A
A palette holds at most 14 colours, one for each row of `yarns.txt`.

::instruction::
### Q
What does exit code 4 mean?
### A
Exit code 4 means that two rows of the chart differ in their number of stitches.

### Q
Why does wickit refuse tabs?
### A
wickit refuses tabs because it counts every single character as one stitch.

### Q
How can I see a preview without writing a file?
### A
Run `wickit peek`, which draws the first thirty rows in the terminal.

### Q
Can a stitch have more than one colour?
### A
No, a stitch has one colour, but `--stripe` can alternate two of them by row.

### Q
What marks an empty cell?
### A
A tilde marks an empty cell, and wickit prints it as a pale grey square.
