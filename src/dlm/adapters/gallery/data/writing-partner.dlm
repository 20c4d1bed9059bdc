---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A009
dlm_version: 15
base_model: llama-3.2-3b
export:
  default_temperature: 0.8
  default_top_p: 0.95
---

# Pages from a notebook

The harbour wakes from the outside in. First the gulls, who have been up all night anyway. Then the man with the blue barrow, who sells nothing before seven and everything by eight. The boats come last. They are not in a hurry; they have been to the edge of things and back, and they take their time telling nobody about it.

I walk the long way round, past the rope store, because the short way is steep and because I like the smell. Tar keeps its promises. You can leave a place for twenty years, and when you come back the paint is new and the names are new, and then somebody opens a door and there it is, the whole of your childhood, smelling of tar.

My aunt used to say that rain is only the sea changing its mind. She said it at the window, with her sleeves rolled up, and went on peeling. She had a way of saying a large thing with a small knife in her hand. I have met professors since who needed a whole evening for less.

There is a bench by the customs house where nobody sits. It looks the wrong way, at a wall. I asked once who had put it there, and was told that the wall is new. Before the wall there was a view, and the bench has not been told. I sit down on it now and then. It seems polite.

In the afternoon the light comes in low and finds everything that has been mended: the oar with its collar of tin, the third step, the saucer. It is an honest light. It does not flatter anyone, but it goes slowly over the mended places, and by five o'clock the town looks like something that has been kept on purpose.

At night the ferry turns around in the bay, and its windows swing across my ceiling, one after the other, eleven in all. I count them. I have never been able to sleep before the last one, and I have never missed it. It is not much, eleven windows. But they come round, and they are lit, and somebody is in there with a cup of bad coffee, going home.
