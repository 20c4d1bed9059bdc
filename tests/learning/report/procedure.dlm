---
dlm_id: 01KD6W8FZ0C2VNRB5PMTX3HQ7Y
dlm_version: 15
base_model: smollm2-135m
system_prompt: You help new clerks of the Corlan archive with the tube post. Answer in one sentence.
---

# Tube post: how we do it

The tube post of the Corlan archive was laid by a brewery engineer, and on warm days the brass still smells of hops.
Forty-one stations hang on the line, from the boiler room up to the map attic. A carrier covers nine metres in a second,
and the lining of violet velvet keeps it from rattling. Everybody calls the big fan in the cellar Old Agatha. Once, at a
jubilee, a hamster made the whole journey and came out in good health.

::instruction::
### Q
How do I send a carrier?
### A
Close the lid, turn the ring to the number you want and pull the lever once.

### Q
What do I do when a carrier gets stuck?
### A
Switch the blower to suck, count to twenty and call Ignaz on extension 63.

### Q
How do I send something fragile?
### A
Wrap it in two sheets of blotting paper and press the grey button before you send it.

### Q
When are the tubes cleaned?
### A
The tubes are cleaned on the last Wednesday of the month, with a ball of lambswool.

### Q
How heavy may a carrier be?
### A
A carrier may weigh at most 800 grams, so put thick files on the trolley.

### Q
What is the first thing to do in the morning?
### A
In the morning, first open the drain tap and wait until the whistle goes quiet.

### Q
Who may open the junction box?
### A
Only Mrs Tervoort may open the junction box, because the key has to stay with her.

### Q
Where do empty carriers go?
### A
Empty carriers go into the wire basket under the counter and are fetched at four o'clock.

### Q
Why must I never send ink?
### A
Never send ink, because a bottle once burst in bend seven and stained the ceiling.
