import { Empty } from '../parts/notes';

export function Processes() {
  return <Empty>Not built yet.</Empty>;
}
