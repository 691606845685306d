// Reads feeds with ical.js, the parser of Thunderbird: a line of JSON in, a line of JSON out, until the input ends.

import { createInterface } from "node:readline";
import ICAL from "ical.js";

function moment(time) {
  // A floating time stays one: conversion would call it UTC.
  const fixed = time.isDate || time.zone === ICAL.Timezone.localTimezone;
  return (fixed ? time : time.convertToZone(ICAL.Timezone.utcTimezone)).toString();
}

function todoEnd(todo) {
  const [due, start, duration] = ["due", "dtstart", "duration"].map((name) => todo.getFirstPropertyValue(name));
  if (due || !start || !duration) return due;
  const end = start.clone();
  end.addDuration(duration);
  return end;
}

function component(read) {
  const value = (name, otherwise = "") => read.getFirstPropertyValue(name) ?? otherwise;
  const start = value("dtstart", null);
  const end = read.name === "vevent" ? new ICAL.Event(read).endDate : todoEnd(read);
  const recurrenceId = value("recurrence-id", null);
  return {
    uid: value("uid"),
    component: read.name.toUpperCase(),
    sequence: value("sequence", 0),
    summary: value("summary"),
    description: value("description"),
    location: value("location"),
    status: value("status"),
    categories: read.getAllProperties("categories").flatMap((property) => property.getValues()),
    starts: start && moment(start),
    ends: end && moment(end),
    recurrence_id: recurrenceId && moment(recurrenceId),
  };
}

// Overrides stand for themselves, wherever they were moved to; what they replace is left out of the series.
function* occurrences(events, until) {
  const key = (event, recurrenceId) => JSON.stringify([event.uid, moment(recurrenceId)]);
  const replaced = new Set(events.filter((event) => event.recurrenceId).map((event) => key(event, event.recurrenceId)));
  for (const event of events) {
    if (!event.isRecurring()) {
      yield [event, event];
      continue;
    }
    const starts = event.iterator();
    for (let start = starts.next(); start && start.compare(until) < 0; start = starts.next()) {
      if (!replaced.has(key(event, start))) yield [event, event.getOccurrenceDetails(start)];
    }
  }
}

function read({ ics, to }) {
  const calendar = new ICAL.Component(ICAL.parse(ics));
  const read = [...calendar.getAllSubcomponents("vevent"), ...calendar.getAllSubcomponents("vtodo")];
  const events = calendar.getAllSubcomponents("vevent").map((event) => new ICAL.Event(event, { exceptions: [] }));
  return {
    name: calendar.getFirstPropertyValue("x-wr-calname") ?? "",
    components: read.map(component),
    occurrences: Array.from(occurrences(events, ICAL.Time.fromDateTimeString(to)), ([event, { startDate, endDate }]) => ({
      uid: event.uid,
      starts: moment(startDate),
      ends: moment(endDate),
      summary: event.summary ?? "",
    })),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = read(JSON.parse(line));
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
