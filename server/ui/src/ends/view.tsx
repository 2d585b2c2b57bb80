export function Ends() { return <h1>x</h1>; }
