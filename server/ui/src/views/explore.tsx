import { Empty } from '../parts/notes';

export function Explore() {
  return <Empty>Not built yet.</Empty>;
}
