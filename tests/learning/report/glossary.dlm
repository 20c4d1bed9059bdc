---
dlm_id: 01KD5B3XGW9ZK7TJ4YQRE6MSAH
dlm_version: 15
base_model: smollm2-135m
---

# Words from the Dunmarrel mushroom tunnels

The tunnels under Dunmarrel were dug for a railway that went bankrupt before the first train. Growers moved in with
straw and lamps, and in the dark they made up a language of their own. The first list of it was scratched on a slate by
one Hobart Linnet; it held nineteen words. The air down there stays at twelve degrees, summer and winter. Everything
that is picked leaves the tunnels by donkey and is sold in Essering before breakfast.

::instruction::
### Q
What is a pallum?
### A
A pallum is the first white fuzz that spreads over the straw after nine days.

### Q
What does it mean to dusk a bed?
### A
To dusk a bed means to cover it with wet sacking for one night before picking.

### Q
Who is the knocker-in?
### A
The knocker-in is the oldest picker, who taps on the wall to end the shift.

### Q
What is a grellow?
### A
A grellow is a mushroom that has grown sideways and is given to the pickers' children.

### Q
Why is a basket called a nunnery?
### A
A basket is called a nunnery because the caps lie face down in it like bowed heads.

### Q
How many caps are in a hessock?
### A
A hessock is a bundle of forty caps, tied together with raffia.

### Q
When do growers speak of long milk?
### A
Growers speak of long milk when cloudy water drips from the roof after heavy snow.

### Q
Which tool is known as a tickler?
### A
A tickler is a short knife with a bone handle, used only for cutting stems.

### Q
What does sourwall mean?
### A
Sourwall is the smell of vinegar that warns the growers of green mould.

### Q
Where is the vesper shelf?
### A
The vesper shelf is the lowest one near the exit, where tired beds are left to rest.
