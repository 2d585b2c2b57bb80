import { Empty } from '../parts/notes';

export function About() {
  return <Empty>Not built yet.</Empty>;
}
